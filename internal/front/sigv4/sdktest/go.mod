// The cross-check against the AWS SDK's own signer is a module of its own, so
// that the SDK stays out of the product's dependencies.
module countersign/internal/front/sigv4/sdktest

go 1.26.0

require (
	countersign v0.0.0
	github.com/aws/aws-sdk-go-v2 v1.47.7
)

require github.com/aws/smithy-go v1.28.8 // indirect

replace countersign => ../../../..
