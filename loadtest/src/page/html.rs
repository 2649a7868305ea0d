//! The little of HTML that the page needs. Text comes only through [`Escaped`].

use std::fmt::{self, Display, Write as _};

/// A text as it may stand in HTML and SVG, between tags and in quoted attributes.
pub struct Escaped<T>(pub T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.to_string().chars() {
            match letter {
                '&' => formatter.write_str("&amp;")?,
                '<' => formatter.write_str("&lt;")?,
                '>' => formatter.write_str("&gt;")?,
                '"' => formatter.write_str("&quot;")?,
                '\'' => formatter.write_str("&#39;")?,
                _ => formatter.write_char(letter)?,
            }
        }
        Ok(())
    }
}

/// A cell of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// What it says.
    pub text: String,
    /// What it adds, smaller.
    pub note: Option<String>,
}

impl Cell {
    /// One that says this and no more.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), note: None }
    }
}

impl Display for Cell {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", Escaped(&self.text))?;
        match &self.note {
            Some(note) => write!(out, " <small>{}</small>", Escaped(note)),
            None => Ok(()),
        }
    }
}

/// A table: each row has a header of its own, and as many cells as there are columns but the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// What it shows.
    pub caption: String,
    /// The columns' headers; the first is that of the rows' headers.
    pub columns: Vec<String>,
    /// The rows: header and cells.
    pub rows: Vec<(Cell, Vec<Cell>)>,
    /// Whether the cells are numbers, to be set to the right.
    pub is_numeric: bool,
}

impl Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = if self.is_numeric { "numbers" } else { "words" };
        let caption = Escaped(&self.caption);
        // What can be scrolled must be reached by the keyboard.
        writeln!(out, "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{caption}\">")?;
        writeln!(out, "<table class=\"{class}\"><caption>{caption}</caption>\n<thead><tr>")?;
        for column in &self.columns {
            write!(out, "<th scope=\"col\">{}</th>", Escaped(column))?;
        }
        writeln!(out, "</tr></thead>\n<tbody>")?;
        for (header, cells) in &self.rows {
            write!(out, "<tr><th scope=\"row\">{header}</th>")?;
            for cell in cells {
                write!(out, "<td>{cell}</td>")?;
            }
            writeln!(out, "</tr>")?;
        }
        writeln!(out, "</tbody></table></div>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_becomes_markup() {
        let text = Escaped(r#"<script>alert("1")</script> & 'x'"#).to_string();
        assert_eq!(text, "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; &amp; &#39;x&#39;");
    }

    #[test]
    fn a_table_has_headers_for_rows_and_columns_and_escapes_all() {
        let cell = Cell { text: "1.5".into(), note: Some("1–2 <b>".into()) };
        let table = Table {
            caption: "A & B".into(),
            columns: vec!["server".into(), "p99 <ms>".into()],
            rows: vec![(Cell::new("<vesta>"), vec![cell])],
            is_numeric: true,
        };
        let html = table.to_string();
        assert!(html.contains("<caption>A &amp; B</caption>"), "{html}");
        assert!(html.contains(r#"<th scope="col">p99 &lt;ms&gt;</th>"#), "{html}");
        assert!(
            html.contains(r#"<th scope="row">&lt;vesta&gt;</th><td>1.5 <small>1–2 &lt;b&gt;</small></td>"#),
            "{html}"
        );
    }
}
