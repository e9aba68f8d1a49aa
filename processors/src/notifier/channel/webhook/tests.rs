//! Webhooks: what is signed, and what an event says.

use super::*;

#[test]
fn the_signature_is_that_of_the_documentation() {
    // printf '1790000000.{}' | openssl dgst -sha256 -hmac key
    let made = signature(b"key", 1_790_000_000, b"{}");
    assert_eq!(made, "v1=099d33989336226b12c85da813adf6100e1bbab1e91bede9a41ddeb7882d66b8");
}
