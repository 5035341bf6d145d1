//! One whole call, headless: what `cargo xtask demo --check` runs against the processes it started.
