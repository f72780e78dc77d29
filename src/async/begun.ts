/** The same items, when the first is there: what fails before it fails here, while the answer can still be another. */
export async function begun<T>(items: AsyncGenerator<T, void, void>): Promise<AsyncGenerator<T, void, void>> {
  const first = await items.next()
  return resumed(first, items)
}

async function* resumed<T>(first: IteratorResult<T, void>, items: AsyncGenerator<T, void, void>) {
  try {
    if (first.done) return
    yield first.value
    yield* items
  } finally {
    await items.return()
  }
}
