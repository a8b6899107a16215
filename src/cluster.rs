//! Several nodes on one store.
pub mod local;
pub mod news;
pub mod settings;
pub mod teller;
pub mod tenure;
