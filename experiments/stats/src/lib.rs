//! Statistics over few runs (arXiv 2108.13264): interquartile means, bootstrap intervals, profiles, paired tests, time to threshold.
pub mod compare;
pub mod rank;
pub mod scores;
pub mod threshold;
