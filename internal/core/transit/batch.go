package transit

import "countersign/internal/errs"

// bounds holds a request against the limits, and makes its outcome of those of its
// items.
type bounds struct {
	batch bool
	items int
	total int
}

// add counts an item: the length of its data, and what comes with it.
func (b *bounds) add(data int, beside ...[]byte) {
	b.total += data
	for _, x := range beside {
		b.total += len(x)
	}
}

func (b *bounds) check(key string) error {
	switch {
	case b.items == 0:
		return errs.InvalidField("batch_input", "missing batch input to process")
	case b.items > MaxBatch:
		return &errs.Error{Kind: errs.Limit, Field: "batch_input", Msg: "a batch has at most 1000 items"}
	case b.total > MaxData:
		return &errs.Error{Kind: errs.Limit, Field: "batch_input", Msg: "the data of a request, contexts and associated data included, is at most 1048576 bytes"}
	case !b.batch && b.items != 1:
		return errs.New(errs.Internal, "a request that is no batch has %d items", b.items)
	}
	return CheckName(key)
}

// outcome is the error of the request: that of its one item, or, of a batch, one
// when every item failed. What went wrong inside is an error in any case.
func (b *bounds) outcome(failed func(i int) error) error {
	bad := 0
	for i := range b.items {
		err := failed(i)
		if err == nil {
			continue
		}
		if bad++; !b.batch || errs.KindOf(err) == errs.Internal {
			return err
		}
	}
	if bad == b.items {
		return errs.Coded(errs.Invalid, CodeBatch, "every item of the batch failed")
	}
	return nil
}
