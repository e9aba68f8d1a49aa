//! What ntfy makes of a message.
