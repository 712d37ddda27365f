//! BERT encoders: loading, classification, corruption, healing.
