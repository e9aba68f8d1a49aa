//! What email makes of a message.
