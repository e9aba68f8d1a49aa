//! What chatroom makes of a message.
