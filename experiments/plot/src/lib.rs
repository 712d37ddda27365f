//! Pictures and pages: charts as SVG and PNG, reports as self-contained HTML, tables of text.
pub mod charts;
pub mod document;
pub mod svg;
pub mod text;
