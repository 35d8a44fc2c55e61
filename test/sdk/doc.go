// Package sdk runs stock clients of AWS Secrets Manager and of HashiCorp Vault
// against a started Countersign server.
//
// The clients are those that people use: the AWS SDK for Go v2 and its caching
// client, the AWS SDK for JavaScript v3, boto3, and the aws command line; Vault's
// client for Go, node-vault, hvac and consul-template. They are not changed and
// not told about the server except by the settings that each of them documents:
// the endpoint, the region and the access key, or the address and the token, in
// the variables that "countersign dev" writes to its env file. Each client of AWS
// calls all operations of the service. TestFronts does at each front what can be
// done with a secret, and sees at every other that it was done.
//
// The server is the binary that COUNTERSIGN_BIN names, started once for all
// tests of the package on a free port and an empty folder. Scenarios keep out
// of each other's way by the names of their secrets, and run side by side.
// When they are done the server is stopped, and everything that it wrote is
// searched for the values that the scenarios have kept in it.
//
// A client that is not installed is a failure, not a skip: "make test" installs
// what is missing. What the scenarios expect is what the real service answers;
// where its answer is not on record they ask only for the class of the error.
package sdk
