fn main() {
    print!("{}", gateway::sdl());
}
