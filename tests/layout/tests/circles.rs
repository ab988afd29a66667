//! What counts as an import and as a circle, on small crates made for it.

use std::{fs, path::Path};

use tailback_layout::{Crate, Source, circles};

/// The circles among `files` (path and text), each as the names of its files.
fn circles_of(files: &[(&str, &str)]) -> Vec<Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let file = folder.path().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    let found = Crate::read(&folder.path().join("lib.rs")).unwrap();
    let name = |file: &Path| {
        let path = file.strip_prefix(folder.path()).unwrap();
        path.display().to_string()
    };
    circles(&found.imports_with_tests())
        .iter()
        .map(|circle| circle.iter().map(|file| name(file)).collect())
        .collect()
}

#[test]
fn two_files_that_use_each_other_are_a_circle() {
    let found = circles_of(&[
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "use crate::b::B; pub struct A(B);"),
        ("b.rs", "use crate::a; pub struct B(Box<a::A>);"),
    ]);
    assert_eq!(found, [["a.rs", "b.rs"]]);
}

#[test]
fn a_circle_may_go_through_several_files_folders_and_inline_modules() {
    let found = circles_of(&[
        ("lib.rs", "mod a; mod b; mod c { pub mod d; }"),
        ("a.rs", "pub fn a() { crate::b::b() }"),
        ("b/mod.rs", "mod e; pub use e::b;"),
        ("b/e.rs", "pub fn b() { super::super::c::d::f::<u8>() }"),
        (
            "c/d.rs",
            "use crate::{a::{self as first}}; pub fn f<T>() { first::a() }",
        ),
    ]);
    assert_eq!(found, [["a.rs", "b/e.rs", "c/d.rs"]]);
}

#[test]
fn names_are_followed_through_reexports_and_globs_to_the_file_that_defines_them() {
    let found = circles_of(&[
        ("lib.rs", "mod a; mod b; pub use a::A; pub use b::*;"),
        ("a.rs", "pub struct A; fn a(_: crate::B) {}"),
        (
            "b.rs",
            "pub struct B; macro_rules! of { () => { crate::A } }",
        ),
    ]);
    assert_eq!(found, [["a.rs", "b.rs"]]);
}

#[test]
fn a_name_that_comes_by_a_glob_is_an_import() {
    let found = circles_of(&[
        ("lib.rs", "mod a; mod b; mod prelude;"),
        ("prelude.rs", "pub use crate::a::A;"),
        ("a.rs", "use crate::b::B; pub struct A(B);"),
        ("b.rs", "use crate::prelude::*; pub struct B(Box<A>);"),
    ]);
    assert!(
        found.iter().flatten().any(|file| file == "a.rs"),
        "{found:?}"
    );
    assert!(
        found.iter().flatten().any(|file| file == "b.rs"),
        "{found:?}"
    );
}

#[test]
fn one_way_imports_tests_comments_and_texts_are_no_circle() {
    let found = circles_of(&[
        ("lib.rs", "mod a; mod b; mod http; pub use a::A;"),
        ("a.rs", "use crate::b::B; pub struct A(B);"),
        (
            "b.rs",
            r#"
            //! See [`crate::a::A`].
            pub struct B; // of crate::a::A
            const TEXT: &str = "crate::a::A";
            #[cfg(test)]
            use crate::a::A;
            #[cfg(test)]
            mod tests { use crate::a::A; }
            #[cfg(all(test, unix))]
            fn of_tests(_: crate::A) {}
            "#,
        ),
        // Another crate's name, which a module has as well.
        (
            "http.rs",
            "use ::http::Method; pub fn f() -> ::b::B { ::b::B::new() }",
        ),
    ]);
    assert_eq!(found, Vec::<Vec<String>>::new());
}

#[test]
fn tests_that_use_each_others_are_a_circle_and_not_one_of_the_code_that_they_test() {
    let found = circles_of(&[
        ("lib.rs", "mod a; mod b; #[cfg(test)] mod c;"),
        (
            "a.rs",
            r"
            use crate::b::B;
            pub struct A(B);
            #[cfg(test)]
            #[expect(dead_code)]
            pub(crate) mod tests { use crate::{a::A, b::tests::of_b}; pub fn of_a() { of_b() } }
            ",
        ),
        ("b.rs", "pub struct B; #[cfg(test)] pub mod tests;"),
        ("b/tests.rs", "use crate::c::help; pub fn of_b() { help() }"),
        ("c.rs", "mod d; pub use d::help;"),
        (
            "c/d.rs",
            "use crate::a::{A, tests}; pub fn help() { tests::of_a() }",
        ),
    ]);
    assert_eq!(found, [["a.rs (tests)", "b/tests.rs", "c/d.rs"]]);
}

#[test]
fn a_module_may_use_what_it_is_inside_of() {
    let found = circles_of(&[
        ("lib.rs", "mod a;"),
        ("a/mod.rs", "mod b; pub struct A(b::B);"),
        ("a/b.rs", "use super::A; pub struct B(Box<A>);"),
    ]);
    assert_eq!(found, Vec::<Vec<String>>::new());
}

#[test]
fn definitions_of_a_file_are_found_with_kind_and_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.rs");
    let text = "pub struct Lane;\nimpl Lane {\n    const fn shun() {}\n}\nmod turns;\n#[cfg(test)]\nmod tests { struct Wire; }\n";
    fs::write(&file, text).unwrap();
    let source = Source::read(&file).unwrap();
    let found: Vec<_> = source
        .definitions()
        .iter()
        .map(|found| (found.kind, found.name.as_str(), found.line))
        .collect();
    let expected = [
        ("type", "Lane", 1),
        ("function", "shun", 3),
        ("module", "turns", 5),
    ];
    assert_eq!(found, expected);
}
