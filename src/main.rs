//! The `longhaul` program: see `longhaul --help`, and `cli` for what each command does.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    longhaul::cli::main()
}
