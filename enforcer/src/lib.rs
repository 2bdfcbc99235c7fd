//! lib

pub mod policy;
