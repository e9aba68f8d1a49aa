//! The built page is embedded: a new `web/dist` makes a new binary.

fn main() {
    println!("cargo:rerun-if-changed=web/dist");
}
