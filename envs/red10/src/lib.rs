//! Red-10, a four-player card game with hidden teams.
