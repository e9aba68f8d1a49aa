//! The simulated fleet and the benchmarks. tests/ uses the fleet's pure function to know what must exist.

pub mod fleet;
pub mod run;
