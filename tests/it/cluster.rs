//! Several nodes on one store.

mod sharing;
