//! The description of the API that the page's types are made from is that of the code. `UPDATE=1` writes it again.

use watchkeeper_gateway::api::description::openapi;

#[test]
fn the_golden_description_is_that_of_the_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    let now = format!("{}\n", openapi().to_pretty_json().unwrap());
    if std::env::var_os("UPDATE").is_some_and(|value| value == "1") {
        std::fs::write(path, &now).unwrap();
    }
    let golden = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        golden == now,
        "{path} is old: `UPDATE=1 cargo test -p watchkeeper-gateway --test it openapi` writes it, then `npm run types` in \
         gateway/web makes the page's types of it"
    );
}
