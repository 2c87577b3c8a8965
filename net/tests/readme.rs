//! The README's program is the example's, word for word.

#[test]
fn the_readme_and_the_example_are_one() {
    let readme = include_str!("../../README.md");
    let example = include_str!("../examples/readme.rs");
    let program = readme.split("```rust,no_run\n").nth(1).expect("a program");
    let program = program.split("```").next().expect("its end");
    let (_, code) = example.split_once("#![allow(unused_mut)]\n\n").expect("the attribute");
    assert_eq!(program, code);
}
