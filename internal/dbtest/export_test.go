package dbtest

// Program is where tests see what is said of a program that is missing.
var Program = program
