//! The built-in rules: each against its samples, and against variants of the well-known families
//! of webshells. The variants are put together from parts here, so that no file of this project
//! is one.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::content::samples::Sample;
use crate::content::source::{ORIGIN, Sources, builtin_samples};
use crate::event::alert::Severity;

const PATIENCE: Duration = Duration::from_secs(60);

fn builtin() -> Engine {
    let (engine, problems) = Engine::compile(&Sources::read(&[], true).files);
    assert_eq!(problems, [""; 0]);
    engine
}

fn of_text(text: &str) -> Engine {
    let source = Source {
        name: "x.yar".into(),
        text: text.into(),
    };
    let (engine, problems) = Engine::compile(&[source]);
    assert_eq!(problems, [""; 0]);
    engine
}

/// Names of the rules that match, and how bad the worst is.
fn judge(engine: &mut Engine, content: &[u8]) -> (Vec<String>, Option<Severity>) {
    let scan = engine.scan(content, PATIENCE);
    assert!(!scan.timed_out);
    let cards = scan.hits.iter().map(|hit| &engine.cards[hit.rule as usize]);
    let worst = cards.clone().map(Card::severity).max();
    (cards.map(|card| card.name.clone()).collect(), worst)
}

#[test]
fn every_rule_fires_on_its_samples_and_not_on_the_others() {
    let mut engine = builtin();
    let mut tried: BTreeMap<String, [usize; 2]> = BTreeMap::new();
    for (file, text) in builtin_samples() {
        for (number, line) in (1..).zip(text.lines()) {
            let sample = Sample::parse(line).unwrap();
            let (matched, _) = judge(&mut engine, &sample.content);
            assert_eq!(
                matched.contains(&sample.rule),
                sample.fires,
                "{file}:{number}: {} on {}; {matched:?} do",
                sample.rule,
                String::from_utf8_lossy(&sample.content)
            );
            // What must not fire a rule is good as a whole.
            assert!(
                sample.fires || matched.is_empty(),
                "{file}:{number}: {matched:?}"
            );
            tried.entry(sample.rule).or_default()[usize::from(sample.fires)] += 1;
        }
    }
    for card in engine.cards() {
        let [harmless, firing] = tried.get(&card.name).copied().unwrap_or_default();
        assert!(harmless > 0 && firing > 0, "{} lacks samples", card.name);
    }
}

#[test]
fn every_rule_says_what_it_is_how_bad_and_what_looks_alike() {
    for card in builtin().cards() {
        assert!(card.file.starts_with(ORIGIN));
        assert!(
            !card.title.is_empty() && !card.description.is_empty(),
            "{card:?}"
        );
        assert!(!card.false_positives.is_empty(), "{card:?}");
        assert!(Severity::from_name(&card.severity).is_some(), "{card:?}");
        assert!(
            card.confidence.is_some_and(|percent| percent > 0),
            "{card:?}"
        );
        let rule = card.rule();
        assert!(
            !rule.techniques.is_empty() && !rule.tactics.is_empty(),
            "{card:?}"
        );
    }
}

#[test]
fn what_is_wrong_with_a_rule_file_is_said_with_its_line_and_leaves_the_others() {
    let file = |name: &str, text: &str| Source {
        name: name.into(),
        text: text.into(),
    };
    let good = "rule good { condition: true }";
    let (engine, problems) = Engine::compile(&[
        file(
            "broken.yar",
            "rule a { condition: true }\nrule b {\n  condition: $nowhere\n}",
        ),
        file("include.yar", "include \"/etc/passwd\""),
        file("good.yar", good),
    ]);
    assert!(problems[0].starts_with("broken.yar:3:"), "{problems:?}");
    assert!(problems[1].starts_with("include.yar:1:"), "{problems:?}");
    assert!(engine.cards().iter().any(|card| card.name == "good"));
}

#[test]
fn modules_that_public_rules_use_are_there() {
    let mut engine = of_text(
        "import \"elf\"\nimport \"pe\"\nimport \"hash\"\nimport \"math\"\n\
         rule entropy { condition: math.entropy(0, filesize) < 1.0 and not pe.is_pe }",
    );
    assert_eq!(judge(&mut engine, &[0; 64]).0, ["entropy"]);
}

#[test]
fn a_rule_that_takes_long_is_given_up() {
    let mut engine = of_text(
        "rule slow { condition: for all i in (0..4000000000) : (uint8(i % filesize) == 0) }",
    );
    assert!(engine.scan(&[0; 64], Duration::from_millis(50)).timed_out);
}

#[test]
fn a_private_rule_is_not_reported_but_counts_for_others() {
    let mut engine = of_text(
        "private rule part { strings: $a = \"abc\" condition: $a }\nrule whole { condition: part }",
    );
    assert_eq!(judge(&mut engine, b"abc").0, ["whole"]);
}

/// Whether a rule of high severity matches; those that none does are listed.
fn missed(variants: &[String]) -> Vec<&String> {
    let mut engine = builtin();
    let is_missed = |variant: &&String| {
        judge(&mut engine, variant.as_bytes())
            .1
            .is_none_or(|worst| worst < Severity::High)
    };
    variants.iter().filter(is_missed).collect()
}

/// Variants of one-line shells: where input comes from, what it goes through, where it ends.
#[test]
fn php_one_liners_are_found_whatever_their_parts() {
    let open = ["<", "?php "].concat();
    let input: Vec<String> = ["GET", "POST", "REQUEST", "COOKIE"]
        .iter()
        .map(|name| ["$_", name, "['k']"].concat())
        .collect();
    let code = [["ev", "al"].concat(), ["ass", "ert"].concat()];
    let command = ["sys,tem", "shell_,exec", "pass,thru", "po,pen", "ex,ec"]
        .map(|name| name.replace(',', ""));
    let through = [
        "{}",
        "base64_decode({})",
        "@gzinflate(base64_decode({}))",
        "stripslashes({})",
        "strrev(str_rot13({}))",
    ];
    let mut variants = Vec::new();
    for input in &input {
        for through in through {
            let value = through.replace("{}", input);
            for sink in &code {
                variants.push(format!("{open}@{sink}({value});"));
                variants.push(format!("{open}$x = {value};\n{sink}($x);"));
            }
            for sink in &command {
                variants.push(format!("{open}echo {sink}({value} . ' 2>&1');"));
                variants.push(format!("GIF89a\n{open}$c={value};$r={sink}($c);"));
            }
        }
        variants.push(format!("{open}{input}({input});"));
        variants.push(format!("{open}$f={input};$f({input});"));
        variants.push(format!("{open}array_map({input}, array({input}));"));
        variants.push(format!("{open}file_put_contents({input}, {input});"));
        variants.push(format!("{open}print `{input}`;").replace("['k']", "[k]"));
    }
    let missed = missed(&variants);
    let total = variants.len();
    println!("PHP: {} of {total} found", total - missed.len());
    assert!(total >= 200);
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn pages_in_other_languages_are_found_whatever_their_parts() {
    let page = |body: &str| ["<", "% ", body, " %", ">"].concat();
    let aspx = |body: &str| page("@ Page Language=\"C#\"") + &page(body);
    let run = ["getRuntime().ex", "ec("].concat();
    let mut variants = Vec::new();
    for input in [
        "getParameter(\"c\")",
        "getHeader(\"X-C\")",
        "getReader().readLine()",
    ] {
        variants.push(page(&format!("Runtime.{run}request.{input});")));
        variants.push(page(&format!(
            "String c = request.{input}; new ProcessBuilder(\"sh\", \"-c\", c).start();"
        )));
        variants.push(page(&format!(
            "java.lang.reflect.Method m = ClassLoader.class.getDeclaredMethod(\"define{}\", byte[].class, int.class, int.class); byte[] b = java.util.Base64.getDecoder().decode(request.{input});",
            "Class"
        )));
        variants.push(page(&format!("Class.forName(\"java.lang.Runtime\").getMethod(\"ex{}\", String.class).invoke(r, request.{input});", "ec")));
    }
    for input in [
        "Request[\"c\"]",
        "Request.Form[\"c\"]",
        "Request.QueryString[\"c\"]",
        "Request.Headers[\"c\"]",
    ] {
        variants.push(aspx(&format!(
            "var p = new ProcessStartInfo(\"cmd.exe\", \"/c \" + {input}); Process.St{}(p);",
            "art"
        )));
        variants.push(aspx(&format!(
            "Assembly.Lo{}(Convert.FromBase64String({input})).CreateInstance(\"U\").Equals(this);",
            "ad"
        )));
    }
    for word in ["ev,al", "exec,ute", "Execute,Global"] {
        let word = word.replace(',', "");
        variants.push(page(&format!("{word} request(\"c\")")));
        variants.push(page(&format!("{word}(request.form(\"c\"))")));
    }
    for input in [
        "request.args['c']",
        "request.form.get('c')",
        "request.values['c']",
        "request.headers.get('X')",
        "request.GET['c']",
    ] {
        for sink in [
            "os.po,pen",
            "os.sys,tem",
            "subprocess.check_,output",
            "ev,al",
        ] {
            let sink = sink.replace(',', "");
            variants.push(format!("    return {sink}({input})\n"));
            variants.push(format!("    c = {input}\n    return {sink}(c)\n"));
        }
    }
    for input in [
        "req.query.c",
        "req.body.c",
        "req.headers['x']",
        "req.params.c",
    ] {
        for sink in ["ex,ec", "exec,Sync", "sp,awn", "ev,al"] {
            let sink = sink.replace(',', "");
            variants.push(format!(
                "app.all('/', (req, res) => res.send(String({sink}({input}))))"
            ));
        }
    }
    for sink in ["sys,tem", "ex,ec", "ev,al"] {
        let sink = sink.replace(',', "");
        variants.push(format!(
            "#!/usr/bin/perl\nuse CGI;\nmy $q = CGI->new;\n{sink}($q->param('c'));\n"
        ));
        variants.push(format!("get '/' do\n  {sink}(params[:c])\nend\n"));
    }
    let missed = missed(&variants);
    let total = variants.len();
    println!("other languages: {} of {total} found", total - missed.len());
    assert!(total >= 60);
    assert!(missed.is_empty(), "{missed:#?}");
}
