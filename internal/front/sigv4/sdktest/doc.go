// Package sdktest holds the cross-check of package sigv4 against the signer of
// the AWS SDK for Go v2. It is a module of its own, so that the SDK stays out
// of the product's dependencies, and has tests alone:
//
//	go test .            # several hundred random requests, signed and verified
//	go test . -update    # also rewrites ../testdata/sdk-go-v2.json
//
// The file lets the product's own tests run the same check without the SDK.
package sdktest
