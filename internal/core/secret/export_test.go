package secret

// What the tests of this package need of its inside.
var (
	FlushUsed = (*Service).flushUsed
	HeadKey   = headKey
	ValueKey  = valueKey
)
