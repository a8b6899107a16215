//! The tables of the report. Each benchmark saves its table in a folder, and the last benchmark of
//! `make bench` prints them all.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::machine;

/// A table with a title, named columns of numbers, and named rows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Section {
    pub(crate) title: String,
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Row>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    /// The number of each column, if the row has one.
    pub(crate) values: Vec<Option<f64>>,
    /// `met` or `missed`, in the table of budgets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) verdict: Option<String>,
}

impl Section {
    pub(crate) fn new(title: &str, columns: &[&str]) -> Self {
        let columns = columns.iter().map(ToString::to_string).collect();
        Self { title: title.to_owned(), columns, rows: Vec::new() }
    }

    pub(crate) fn add(&mut self, name: &str, values: impl IntoIterator<Item = Option<f64>>) {
        let values = values.into_iter().collect();
        self.rows.push(Row { name: name.to_owned(), values, verdict: None });
    }

    /// Saves the table for the report of this run of `make bench`.
    pub(crate) fn save(&self) {
        fs::create_dir_all(folder()).expect("a folder");
        let file = folder().join(format!("{}.json", self.title));
        fs::write(file, serde_json::to_vec(self).expect("plain data")).expect("written");
    }

    fn load(file: &Path) -> Self {
        serde_json::from_slice(&fs::read(file).expect("readable")).expect("as it was saved")
    }

    fn print(&self) {
        let names = self.rows.iter().map(|row| &row.name).chain([&self.title]);
        let name_width = names.map(|name| name.chars().count()).max().unwrap_or_default();
        println!("\n{:<name_width$}{}", self.title, cells(&self.columns));
        for row in &self.rows {
            let values = row.values.iter().map(|value| value.map_or("-".into(), number));
            let verdict = row.verdict.as_deref().unwrap_or_default();
            let cells = cells(&values.collect::<Vec<String>>());
            println!("{}", format!("{:<name_width$}{cells}  {verdict}", row.name).trim_end());
        }
    }
}

fn cells(texts: &[String]) -> String {
    let cells: Vec<_> = texts.iter().map(|text| format!("{text:>11}")).collect();
    cells.concat()
}

/// Formats a number with at least three digits.
fn number(value: f64) -> String {
    match value.abs() {
        0.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("report")
}

/// Loads the tables of the other benchmarks, sorted by title.
pub(crate) fn left() -> Vec<Section> {
    let files = fs::read_dir(folder()).into_iter().flatten();
    let mut files: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    files.sort();
    files.iter().map(|file| Section::load(file)).collect()
}

/// Finds a value by the title of its table, the name of its row and the beginning of its column.
pub(crate) fn find(sections: &[Section], title: &str, row: &str, column: &str) -> Option<f64> {
    let section = sections.iter().find(|section| section.title == title)?;
    let column = section.columns.iter().position(|name| name.starts_with(column))?;
    *section.rows.iter().find(|known| known.name == row)?.values.get(column)?
}

/// Prints the report as text or as JSON.
pub(crate) fn show(sections: &[Section], as_json: bool) {
    if as_json {
        let report: Value = json!({"machine": machine::description(), "sections": sections});
        return println!("{report:#}");
    }
    println!("{}", machine::description());
    for section in sections {
        section.print();
    }
}
