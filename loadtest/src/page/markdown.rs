//! The same tables as Markdown, for a file that is read where it lies.

use std::fmt::{self, Display, Write as _};

use super::html::{Cell, Table};
use super::tables;
use crate::runs::{Group, Run, gather};

/// Tables and commands of runs.
pub struct Markdown<'a> {
    groups: Vec<Group<'a>>,
}

impl<'a> Markdown<'a> {
    /// Of all these runs.
    pub fn new(runs: &'a [Run]) -> Self {
        Self { groups: gather(runs) }
    }
}

impl Display for Markdown<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_table(out, &tables::circumstances(&self.groups))?;
        if let Some(overview) = tables::overview(&self.groups) {
            write_table(out, &overview)?;
        }
        for group in &self.groups {
            writeln!(out, "## {}\n", Inline(&group.title()))?;
            write_table(out, &tables::headlines(group))?;
            write_commands(out, group)?;
        }
        Ok(())
    }
}

fn write_table(out: &mut fmt::Formatter<'_>, table: &Table) -> fmt::Result {
    writeln!(out, "{}\n", Inline(&table.caption))?;
    write_row(out, table.columns.iter().map(String::as_str))?;
    let rule = if table.is_numeric { "---:" } else { "---" };
    write_row(out, std::iter::once("---").chain(std::iter::repeat_n(rule, table.columns.len().saturating_sub(1))))?;
    for (header, cells) in &table.rows {
        let cells: Vec<String> = std::iter::once(header).chain(cells).map(whole).collect();
        write_row(out, cells.iter().map(String::as_str))?;
    }
    out.write_char('\n')
}

fn write_row<'a>(out: &mut fmt::Formatter<'_>, cells: impl Iterator<Item = &'a str>) -> fmt::Result {
    out.write_char('|')?;
    for cell in cells {
        write!(out, " {} |", Inline(cell))?;
    }
    out.write_char('\n')
}

fn whole(cell: &Cell) -> String {
    match &cell.note {
        Some(note) => format!("{} {note}", cell.text),
        None => cell.text.clone(),
    }
}

/// The first command of each label: those of other runs differ in ports and process ids.
fn write_commands(out: &mut fmt::Formatter<'_>, group: &Group) -> fmt::Result {
    let commands = group.series.iter().filter_map(|series| series.texts("command").into_iter().next());
    let commands: Vec<String> = commands.map(|command| command.replace(['\n', '\r'], " ")).collect();
    for command in &commands {
        writeln!(out, "    {command}")?;
    }
    match commands.is_empty() {
        true => Ok(()),
        false => out.write_char('\n'),
    }
}

/// A text as it may stand within a line and within a table.
struct Inline<'a>(&'a str);

impl Display for Inline<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '<' => out.write_str("&lt;")?,
                '&' => out.write_str("&amp;")?,
                '\n' | '\r' => out.write_char(' ')?,
                '|' | '*' | '_' | '`' | '[' | ']' | '\\' => write!(out, "\\{letter}")?,
                _ => out.write_char(letter)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::tests::runs;

    #[test]
    fn tables_and_commands_are_written_and_nothing_breaks_a_table() {
        let runs = runs(&[
            r#"{"scenario":"chat","label":"a|b","pairs":2,"p99_ms":1.5,"command":"loadtest chat\n--pid 1"}"#,
            r#"{"scenario":"chat","label":"a|b","pairs":2,"p99_ms":2.5}"#,
        ]);
        let text = Markdown::new(&runs).to_string();
        let expected = "## chat: pairs 2\n\nchat: median (least–greatest)\n\n| server | runs | p99 ms |\n\
                        | --- | ---: | ---: |\n| a\\|b | 2 | 2 (1.5–2.5) |\n\n    loadtest chat --pid 1\n\n";
        assert!(text.ends_with(expected), "{text}");
    }
}
