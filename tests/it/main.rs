//! The integration tests: one binary, a module for each resource.

<<<<<<< HEAD
mod dependencies;
mod layers;
mod source;
=======
mod push_client;
>>>>>>> push
