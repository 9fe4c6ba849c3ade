//! The `longhaul` program: see `longhaul --help`, and `cli` for what each command does.

fn main() -> std::process::ExitCode {
    longhaul::cli::main()
}
