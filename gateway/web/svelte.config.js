//! Tells the checker what the build tells the compiler.

export default { compilerOptions: { runes: true } }
