//! A deterministic synthetic population and its collected forms.
//!
//! For demonstrations, tests, drills and benchmarks. Nobody here is a real person: names are put together from lists,
//! numbers from counters. [`Population`] writes forms, [`forms::Reader`] reads any forms, [`births`] makes births.

pub mod births;
mod dirt;
mod fill;
pub mod forms;
mod household;
mod names;
mod numbers;
mod places;
mod population;
mod random;
mod seats;

pub use dirt::Dirt;
pub use population::{Population, PopulationSpec, Summary};
