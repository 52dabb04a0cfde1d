// Draws inside kernels of users: `anycat.cuda_source()`. One thread makes each draw.
//
// `key` points to four words, what `anycat.numba.key(rng)` returns. Draw i is that of
// `Categorical(...).sample(n, rng=rng)[i]` for one row, and -1 if the row is invalid. Elements k of a
// row are at `k * stride`.

namespace anycat {

__device__ inline unsigned long long random_word(const unsigned long long* key,
                                                 unsigned long long i) {
  const auto words =
      anycat_detail::probs_float::anycat::philox(i / 2, key[0] | key[1] << 32, key[2] | key[3] << 32);
  return i % 2 ? words.odd : words.even;
}

__device__ inline long long draw(const float* probs, unsigned long long size,
                                 const unsigned long long* key, unsigned long long i,
                                 long long stride = 1) {
  return anycat_detail::probs_float::anycat::draw_from_row({probs, size, stride},
                                                           random_word(key, i));
}

__device__ inline long long draw(const double* probs, unsigned long long size,
                                 const unsigned long long* key, unsigned long long i,
                                 long long stride = 1) {
  return anycat_detail::probs_double::anycat::draw_from_row({probs, size, stride},
                                                            random_word(key, i));
}

__device__ inline long long draw_logits(const float* logits, unsigned long long size,
                                        const unsigned long long* key, unsigned long long i,
                                        long long stride = 1) {
  return anycat_detail::logits_float::anycat::draw_from_row({logits, size, stride},
                                                            random_word(key, i));
}

__device__ inline long long draw_logits(const double* logits, unsigned long long size,
                                        const unsigned long long* key, unsigned long long i,
                                        long long stride = 1) {
  return anycat_detail::logits_double::anycat::draw_from_row({logits, size, stride},
                                                             random_word(key, i));
}

// Draw from a row that is prepared: `cdf` is that of `anycat.numba.prepare(row)`.
__device__ inline long long draw_prepared(const unsigned long long* cdf, unsigned long long size,
                                          const unsigned long long* key, unsigned long long i) {
  const unsigned long long total = size ? cdf[size - 1] : 0;
  if (total == 0) return -1;
  const unsigned long long target = __umul64hi(random_word(key, i), total);
  unsigned long long k = 0, last = size - 1;
  while (k < last) {
    const unsigned long long middle = k + (last - k) / 2;
    if (cdf[middle] <= target) k = middle + 1;
    else last = middle;
  }
  return (long long)k;
}

}  // namespace anycat
