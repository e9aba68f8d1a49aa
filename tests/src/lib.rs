//! Holds nothing: everything is in the tests.
