//! Finds paths named in the text: `src/auth/login.js`, `Cargo.toml`, `docs/`.
//!
//! Looks at each token once. `e.g.`, `v1.2`, `example.com`, `Node.js` and `and/or` are no files.

/// Endings that programs and documents have. A closed list, because any word may follow a full stop.
const ENDINGS: &str = " adoc astro avro awk bash bat bazel bib c cc cfg cjs clj cljs cmake cmd conf cpp cs csproj css csv cts cxx dart diff dockerfile ejs elm env erb erl ex exs feature fs fsx gd gif go gql gradle graphql groovy h haml hbs hcl hpp hs htm html hxx ico ini ipynb java jinja jl jpeg jpg js json json5 jsonl jsp jsx key kt kts less lock log lua m4 mako md mdx mjs ml mli mm mts mustache nim nix odt patch pdf pem php phtml pl plist pm png po pot prisma properties proto ps1 pug py pyi pyx r rake rb rego rmd rs rst sass sbt scala scss sh sln sol sql svelte svg swift tcl tex tf tfvars toml tpl ts tsv tsx twig txt vb vue wasm xaml xhtml xlsx xml xsd xslt yaml yml zig zsh ";
/// File names without an ending that says so.
const WHOLE_NAMES: &str = " dockerfile makefile jenkinsfile procfile vagrantfile rakefile gemfile brewfile justfile codeowners .gitignore .dockerignore .editorconfig .env .eslintrc .prettierrc .npmrc .nvmrc .babelrc .gitattributes .gitmodules .bashrc ";
/// Products that are spelled like files.
const PRODUCTS: &str = " node.js vue.js next.js nuxt.js react.js angular.js ember.js backbone.js express.js three.js d3.js chart.js moment.js p5.js alpine.js electron.js require.js discord.js socket.io asp.net vb.net nest.js solid.js deno.js bun.js leaflet.js day.js date.js ";
/// Folders that are known as such even without a file behind them.
const ROOTS: &str = " src lib libs app apps test tests spec docs doc pkg cmd internal config scripts bin migrations packages crates modules public assets static templates tools examples web frontend backend server client api deploy infra .github .circleci ";
/// As many paths as a person can have meant.
const FILES_MAX: usize = 200;
/// Longer tokens are data, not names.
const PATH_BYTES_MAX: usize = 200;

/// Paths in order of first appearance, each once, at most 200.
pub(crate) fn find(text: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for token in text
        .split(ends_token)
        .filter(|token| token.len() <= PATH_BYTES_MAX && token.contains(['.', '/', '\\', 'f', 'F']))
    {
        let Some(path) = path_of(token) else { continue };
        if out.len() < FILES_MAX && seen.insert(path.to_owned()) {
            out.push(path.to_owned());
        }
    }
    out
}

fn ends_token(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || super::fold::is_cjk(c)
        || matches!(
            c,
            '"' | '\''
                | '`'
                | '('
                | ')'
                | '['
                | ']'
                | '{'
                | '}'
                | '<'
                | '>'
                | ','
                | ';'
                | '|'
                | '“'
                | '”'
                | '„'
                | '«'
                | '»'
                | '‘'
                | '’'
                | '='
        )
}

fn path_of(token: &str) -> Option<&str> {
    let bare = without_position(
        token
            .trim_matches(|c: char| matches!(c, '*' | '!' | '?' | ':' | '…'))
            .trim_end_matches('.'),
    );
    if bare.contains("://")
        || bare.contains('@')
        || bare.starts_with("www.")
        || bare.starts_with("//")
    {
        return None;
    }
    let lower = bare.to_lowercase();
    let name = lower.rsplit(['/', '\\']).next().unwrap_or("");
    if listed(WHOLE_NAMES, name) {
        return Some(bare);
    }
    if name.is_empty() {
        return is_folder(&lower).then_some(bare);
    }
    (has_ending(name, lower.contains(['/', '\\'])) && !listed(PRODUCTS, &lower)).then_some(bare)
}

/// `worker.py:88` and `UserList.jsx:14:22` without the line.
fn without_position(token: &str) -> &str {
    let mut bare = token;
    while let Some((head, tail)) = bare.rsplit_once(':') {
        if head.is_empty() || tail.is_empty() || !tail.bytes().all(|b| b.is_ascii_digit()) {
            break;
        }
        bare = head;
    }
    bare
}

fn has_ending(name: &str, in_folder: bool) -> bool {
    let Some((stem, ending)) = name.rsplit_once('.') else { return false };
    // `e.g`, `i.c`: one letter before and after is an abbreviation unless it stands in a folder.
    let long_enough = in_folder || stem.len() >= 2 && (ending.len() >= 2 || stem.len() >= 3);
    let named = stem.chars().any(char::is_alphanumeric)
        && stem.chars().all(|c| c.is_alphanumeric() || "._-+@$#~*".contains(c));
    long_enough && named && listed(ENDINGS, ending) && !stem.ends_with("()")
}

/// `src/auth/`, `./build/`: ends in a slash and begins like a path of a repository.
fn is_folder(lower: &str) -> bool {
    let first = lower.trim_start_matches("./").split('/').next().unwrap_or("");
    let plain = lower.chars().all(|c| c.is_alphanumeric() || "/._-".contains(c));
    plain && !first.is_empty() && (lower.starts_with("./") || listed(ROOTS, first))
}

/// Whether `word` is in a list of words with a space around each.
fn listed(list: &str, word: &str) -> bool {
    !word.is_empty() && !word.contains(' ') && list.split(' ').any(|one| one == word)
}

#[cfg(test)]
mod tests {
    use super::find;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        assert_eq!(find(text), expected, "{text}");
    }

    #[test]
    fn paths_are_found_wherever_they_stand() {
        check("Fix src/auth/login.js and `Cargo.toml`.", &["src/auth/login.js", "Cargo.toml"]);
        check("at UserList (src/components/UserList.jsx:14:22)", &["src/components/UserList.jsx"]);
        check("File \"worker.py\", line 88", &["worker.py"]);
        check(
            "docs/configuration.mdを更新、Dockerfileも",
            &["docs/configuration.md", "Dockerfile"],
        );
        check(
            "everything below src/api/ and .github/workflows/ci.yml.",
            &["src/api/", ".github/workflows/ci.yml"],
        );
        check("src\\Foo.cs, src\\Foo.cs", &["src\\Foo.cs"]);
    }

    #[test]
    fn look_alikes_are_not_files() {
        check("e.g. v1.2 of example.com and Node.js, i.e. 3.14 and/or 24/7 I/O", &[]);
        check("see https://example.com/a/b.html or mail a@b.rs", &[]);
        check("json.loads(msg.body) in obj.method() at 10.5s ...", &[]);
        check("POST /api/v1/tasks on the client/server border.", &[]);
    }
}
