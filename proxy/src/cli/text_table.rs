//! Tables of plain text.

/// The alignment of a column, and its title.
#[derive(Clone, Copy)]
pub(super) enum Column {
    /// Words, left-aligned.
    Words(&'static str),
    /// Numbers, right-aligned.
    Numbers(&'static str),
}

impl Column {
    fn title(self) -> &'static str {
        let (Self::Words(title) | Self::Numbers(title)) = self;
        title
    }
}

/// Rows of cells under their titles. A last column of words is not padded.
pub(super) fn text_table<const N: usize>(columns: [Column; N], rows: &[[String; N]]) -> String {
    let length = |text: &str| text.chars().count();
    let widths: [usize; N] = std::array::from_fn(|n| {
        let cells = rows.iter().map(|row| length(&row[n]));
        cells.chain([length(columns[n].title())]).max().unwrap_or(0)
    });
    let line = |cells: [&str; N]| {
        let mut line = String::new();
        for (n, cell) in cells.into_iter().enumerate() {
            let space = " ".repeat(widths[n] - length(cell));
            match columns[n] {
                Column::Words(_) => line += &format!("{cell}{space}  "),
                Column::Numbers(_) => line += &format!("{space}{cell}  "),
            }
        }
        format!("{}\n", line.trim_end())
    };
    let mut text = line(columns.map(Column::title));
    for row in rows {
        text += &line(row.each_ref().map(String::as_str));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_begin_and_numbers_end_under_each_other() {
        let columns = [
            Column::Words("NAME"),
            Column::Numbers("LAG"),
            Column::Words("WHY"),
        ];
        let row = |cells: [&str; 3]| cells.map(str::to_owned);
        let text = text_table(
            columns,
            &[row(["é", "5", "a b"]), row(["llama", "1234", ""])],
        );
        let expected = "\
NAME    LAG  WHY
é         5  a b
llama  1234
";
        assert_eq!(text, expected);
    }
}
