//! Lists for people: a line of headers, and a line for each entry, in columns.

use std::fmt;

/// A list with `N` columns. A column is as wide as its widest cell.
#[derive(Debug)]
pub(super) struct Table<const N: usize> {
    headers: [&'static str; N],
    widths: [usize; N],
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    pub(super) fn new(headers: [&'static str; N]) -> Self {
        Self { headers, widths: headers.map(str::len), rows: Vec::new() }
    }

    pub(super) fn add(&mut self, row: [String; N]) {
        for (width, cell) in self.widths.iter_mut().zip(&row) {
            *width = (*width).max(cell.chars().count());
        }
        self.rows.push(row);
    }

    /// Returns the lines of the entries without the headers, and forgets the entries. The widths are
    /// kept, so that a list can be printed page by page.
    pub(super) fn take_page(&mut self) -> Vec<String> {
        let widths = self.widths;
        self.rows.drain(..).map(|row| line(&row.each_ref().map(String::as_str), &widths)).collect()
    }

    pub(super) fn header(&self) -> String {
        line(&self.headers, &self.widths)
    }
}

impl<const N: usize> fmt::Display for Table<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.header())?;
        for row in &self.rows {
            write!(f, "\n{}", line(&row.each_ref().map(String::as_str), &self.widths))?;
        }
        Ok(())
    }
}

fn line(cells: &[&str], widths: &[usize]) -> String {
    let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
    padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(["ID", "NAME", "NOTE"]);
        assert_eq!(table.to_string(), "ID  NAME  NOTE");
        table.add(["1".into(), "kim".into(), "ü, a note".into()]);
        table.add(["st_22".into(), "-".into(), String::new()]);
        assert_eq!(table.to_string(), "ID     NAME  NOTE\n1      kim   ü, a note\nst_22  -");
        assert_eq!(table.take_page(), ["1      kim   ü, a note", "st_22  -"]);
        table.add(["2".into(), "lee".into(), String::new()]);
        assert_eq!(table.take_page(), ["2      lee"]);
    }
}
