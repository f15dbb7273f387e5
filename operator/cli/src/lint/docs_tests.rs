//! The YAML of `docs/pipelines.md`, so that nobody copies what is refused.

use super::*;

/// The blocks of a page, each as a whole object: what begins with no `apiVersion` is a part of a Pipeline's `spec`.
fn blocks(page: &str) -> Vec<String> {
    let blocks = page.split("```yaml\n").skip(1);
    let text = blocks.map(|block| block.split("```").next().unwrap_or_default());
    text.map(|block| {
        if block.starts_with("apiVersion") {
            return block.to_owned();
        }
        let spec: String = block.lines().map(|line| format!("  {line}\n")).collect();
        format!("apiVersion: dcanary.dev/v1alpha1\nkind: Pipeline\nmetadata: {{name: a}}\nspec:\n{spec}")
    })
    .collect()
}

#[test]
fn every_example_of_the_page_about_pipelines_is_clean() {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/pipelines.md");
    let blocks = blocks(&std::fs::read_to_string(page).unwrap());
    assert!(blocks.len() > 8, "{} blocks", blocks.len());
    for block in blocks {
        let found = lint(&block);
        assert_eq!((found.mistakes, found.advice), (vec![], vec![]), "{block}");
        assert_eq!(found.checked.len(), 1, "{block}");
    }
}
