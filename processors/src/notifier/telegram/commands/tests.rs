//! What is asked in chats, and what follows.
