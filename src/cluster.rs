//! Several nodes on one store: which streams and partitions each of them serves, and how they tell
//! each other what has changed.

pub mod news;
pub mod teller;
pub mod tenure;
