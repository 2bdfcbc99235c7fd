//! lib

pub mod compile;
pub mod policy;
