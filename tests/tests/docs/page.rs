//! A page of Markdown, as far as the checks look into it: fenced blocks, links
//! and headings.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A page of the repository.
pub struct Page {
    /// Its path below the repository's folder.
    pub path: PathBuf,
    /// Its fenced blocks, in order.
    pub blocks: Vec<Block>,
    /// Where its links and pictures lead, as written.
    pub links: Vec<Link>,
    /// The fragments that lead to its headings.
    pub anchors: Vec<String>,
}

/// A fenced block.
pub struct Block {
    /// The line of its opening fence, from 1.
    pub line: usize,
    /// The words behind the opening fence: the language first.
    pub info: Vec<String>,
    /// What is between the fences.
    pub text: String,
}

/// A link.
pub struct Link {
    /// Its line, from 1.
    pub line: usize,
    /// Where it leads.
    pub target: String,
}

impl Block {
    /// Whether the block is marked with this word.
    pub fn is(&self, word: &str) -> bool {
        self.info.iter().any(|found| found == word)
    }

    /// The value of a mark such as `file=NAME`.
    pub fn mark(&self, name: &str) -> Option<&str> {
        let values = self.info.iter().filter_map(|word| word.split_once('='));
        values
            .filter(|(found, _)| *found == name)
            .map(|(_, value)| value)
            .next()
    }
}

/// Every page below `root`, but for what is built and what is not ours.
pub fn pages(root: &Path) -> Vec<Page> {
    let mut found = Vec::new();
    walk(root, &mut found);
    found.sort();
    found.iter().map(|path| read(root, path)).collect()
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        if name.starts_with('.') && name != ".github" || name == "target" || name == "node_modules"
        {
            continue;
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&path, found);
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
}

fn read(root: &Path, path: &Path) -> Page {
    let text = fs::read_to_string(path).expect("a page");
    let mut page = Page {
        path: path.strip_prefix(root).expect("below the root").to_owned(),
        blocks: Vec::new(),
        links: Vec::new(),
        anchors: Vec::new(),
    };
    let mut open: Option<Block> = None;
    for (number, line) in text.lines().enumerate() {
        let number = number + 1;
        if let Some(info) = line.trim_start().strip_prefix("```") {
            match open.take() {
                Some(block) => page.blocks.push(block),
                None => {
                    open = Some(Block {
                        line: number,
                        info: info.split_whitespace().map(str::to_owned).collect(),
                        text: String::new(),
                    });
                }
            }
        } else if let Some(block) = &mut open {
            block.text.push_str(line);
            block.text.push('\n');
        } else {
            if line.starts_with('#') {
                let anchor = anchor(line.trim_start_matches('#').trim());
                let same = page.anchors.iter().filter(|a| **a == anchor).count();
                page.anchors.push(match same {
                    0 => anchor,
                    n => format!("{anchor}-{n}"),
                });
            }
            links(line, number, &mut page.links);
        }
    }
    assert!(open.is_none(), "{}: a fence is not closed", path.display());
    page
}

/// As GitHub and mdbook make it of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// Inline links, and what reference links stand for; not what is in back-ticks.
fn links(line: &str, number: usize, found: &mut Vec<Link>) {
    let mut push = |target: &str| {
        found.push(Link {
            line: number,
            target: target.to_owned(),
        });
    };
    let plain: String = line.split('`').step_by(2).collect::<Vec<_>>().join("code");
    for rest in plain.split("](").skip(1) {
        if let Some((target, _)) = rest.split_once(')') {
            push(target);
        }
    }
    if let Some((_, target)) = plain
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("]: "))
    {
        push(target.trim());
    }
}
