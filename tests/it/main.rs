//! The integration tests: one binary, a module for each resource.

mod store_contract;
