//! Red-10 (hong shi), a four-player card game with hidden teams: rules and cards.
pub mod cards;
pub mod rules;
