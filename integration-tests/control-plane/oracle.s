// Empty: with it in the package, oracle.go may declare functions that have no body.
