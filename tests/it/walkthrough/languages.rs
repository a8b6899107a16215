//! Runs the programs of the examples for publishers, each in its language.

use std::{
    fmt::Write as _,
    process::{Command, Stdio},
};

use super::{
    LANGUAGES_PAGE,
    blocks::{Kind, Language, blocks},
    page,
    place::Place,
    prepared,
};

impl Language {
    const ALL: [Self; 4] = [Self::Python, Self::Node, Self::Go, Self::Java];

    /// Returns the file and the command of a program, or nothing if the language is not installed.
    /// Python is required, because `.ci/setup` installs it. The others are not in the distribution's
    /// packages in the versions that the examples need.
    fn program(self) -> Option<(&'static str, String)> {
        match self {
            Self::Python => {
                let mut all = ["python3", "/usr/bin/python3"].into_iter();
                let found = all.find(|python| works(python, &["-c", "import redis"]));
                let python = found.expect("Python with `redis` is missing: run `make setup`");
                Some(("publish.py", format!("{python} publish.py")))
            }
            Self::Node => works("node", &["-e", "fetch"])
                .then(|| ("publish.mjs", "node publish.mjs".to_owned())),
            // With its usual cache, Go builds its library once on a machine.
            Self::Go => works("go", &["version"]).then(|| {
                let variables = format!("GOTOOLCHAIN=local GOCACHE={}", go_cache());
                ("publish.go", format!("env {variables} go run publish.go"))
            }),
            Self::Java => works("javac", &["-version"])
                .then(|| ("Publish.java", "java Publish.java".to_owned())),
        }
    }
}

fn go_cache() -> String {
    let output = Command::new("go").args(["env", "GOCACHE"]).output().expect("it is installed");
    String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
}

/// Returns whether a command can be run and succeeds.
fn works(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Each program publishes an event, and the stream gets a SET of it.
#[actix_web::test]
async fn the_example_of_each_language_publishes() {
    let text = page(LANGUAGES_PAGE);
    let shown = blocks(&text).expect("well-formed");
    let (mut script, mut run, mut missing) = (String::new(), Vec::new(), Vec::new());
    for language in Language::ALL {
        let mut programs = shown.iter().filter(|b| b.kind == Kind::Program(language) && b.is_run());
        let program = programs.next().unwrap_or_else(|| panic!("no program in {language:?}"));
        assert!(programs.next().is_none(), "two programs in {language:?}");
        let Some((file, command)) = language.program() else {
            missing.push(language);
            continue;
        };
        run.push(language);
        let text = &program.text;
        writeln!(
            script,
            "cat >{file} <<'PROGRAM'\n{text}PROGRAM\n{command}\n\
             ssfd receive poll \"$issuer/ssf/poll/$STREAM\" --issuer \"$issuer\" --token \"$TOKEN\" \
             --count 1 --timeout 20s --json"
        )
        .expect("a text grows");
    }
    let said = prepared::run(&Place::new().await, &script, "publisher.token").await;
    let sets = said.lines().filter(|line| line.contains("\"verified\":true")).count();
    assert_eq!(sets, run.len(), "{run:?} were run:\n{said}");
    println!("run: {run:?}; not installed: {missing:?}");
}
