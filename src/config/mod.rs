//! Settings: of the program, of one execution, and where things lie.

pub mod home;
pub mod limits;
pub mod run;
pub mod settings;
mod specs;
