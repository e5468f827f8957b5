/* encoder_network.cpp - the encoder `network`: TorchScript through libtorch. A plug-in, see encoder_kind.h.
 *
 * A model is what scripts/train_encoder.py writes: a scripted module with forward ([n][edge][edge][14]) -> [n][dimensions],
 * which standardises its input itself, the integers edge, lipids and dimensions, and the buffers mean[14] and deviation[14].
 *
 * The same patch gives the same numbers in each replica and on each call:
 *   - one patch at a time, on one thread: no sum depends on how many there are;
 *   - the executor optimises nothing: by default it runs other code from the third call on;
 *   - in float64, rounded to float32 at the end: what processors and BLAS libraries differ in are the last bits of a double.
 * Nothing throws out of here.
 */
#include <ATen/Parallel.h>
#include <torch/script.h>

#include <omp.h>

#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <string>

extern "C" {
#include "encoder_kind.h"
}

namespace {

struct Network {
    torch::jit::Module module;
    int64_t coarse, dimensions;
};

/* libtorch keeps its number of threads in OpenMP's, which is also the cutter's on this thread: given back afterwards. */
struct OneThread {
    int before = omp_get_max_threads ();
    OneThread ()
    {
        at::set_num_threads (1);
    }
    ~OneThread ()
    {
        omp_set_num_threads (before);
    }
    OneThread (const OneThread &) = delete;
    OneThread &operator= (const OneThread &) = delete;
};

__attribute__ ((format (printf, 2, 3))) int refuse (strata_error *error, const char *format, ...)
{
    if (error) {
        va_list arguments;
        va_start (arguments, format);
        vsnprintf (error->text, sizeof (error->text), format, arguments);
        va_end (arguments);
    }
    return -1;
}

/* What libtorch throws is pages long; its first lines say what is wrong. */
std::string one_line (const std::exception &e)
{
    const auto *theirs = dynamic_cast<const c10::Error *> (&e);
    std::string text = theirs ? theirs->what_without_backtrace () : e.what ();
    for (auto &c : text)
        if (static_cast<unsigned char> (c) < ' ')
            c = ' ';
    return text.substr (0, 300);
}

/* Runs f, which returns 0 or -1 with a sentence; what it throws becomes one. */
template <class F> int guarded (strata_error *error, const char *what, F f)
{
    try {
        return f ();
    } catch (const std::exception &e) {
        return refuse (error, "%s: %s", what, one_line (e).c_str ());
    } catch (...) {
        return refuse (error, "%s: libtorch failed without saying why", what);
    }
}

int64_t whole (const torch::jit::Module &module, const char *name)
{
    return module.hasattr (name) && module.attr (name).isInt () ? module.attr (name).toInt () : -1;
}

torch::Tensor forward (Network &self, const torch::Tensor &patches)
{
    c10::InferenceMode inference;
    torch::jit::GraphOptimizerEnabledGuard plain (false);
    return self.module.forward ({ patches.to (torch::kDouble) }).toTensor ();
}

int check_shape (const Network &self, const char *path, strata_error *error)
{
    int64_t edge = whole (self.module, "edge"), lipids = whole (self.module, "lipids"), dimensions = whole (self.module, "dimensions");
    if (edge < 0 || lipids < 0 || dimensions < 0)
        return refuse (error, "%s: the model lacks the integers edge, lipids and dimensions; scripts/train_encoder.py writes them", path);
    if (edge == self.coarse && lipids == PATCH_ENCODER_LIPIDS && dimensions == self.dimensions)
        return 0;
    return refuse (error,
                   "%s: the model turns patches of %lld x %lld x %lld into %lld numbers; the campaign's are %lld x %lld x %d "
                   "(patch.coarse) into %lld (patch.encoder.dimensions)",
                   path,
                   static_cast<long long> (edge),
                   static_cast<long long> (edge),
                   static_cast<long long> (lipids),
                   static_cast<long long> (dimensions),
                   static_cast<long long> (self.coarse),
                   static_cast<long long> (self.coarse),
                   PATCH_ENCODER_LIPIDS,
                   static_cast<long long> (self.dimensions));
}

int check_numbers (const Network &self, const char *path, strata_error *error)
{
    for (const char *name : { "mean", "deviation" }) {
        if (!self.module.hasattr (name) || !self.module.attr (name).isTensor ()
            || self.module.attr (name).toTensor ().sizes () != c10::IntArrayRef ({ PATCH_ENCODER_LIPIDS }))
            return refuse (error, "%s: the model lacks %s[%d], by which its input is standardised", path, name, PATCH_ENCODER_LIPIDS);
    }
    for (const auto &named : self.module.named_parameters ())
        if (!torch::isfinite (named.value).all ().item<bool> ())
            return refuse (error, "%s: %s holds a number that is not finite; train the model anew", path, named.name.c_str ());
    for (const auto &named : self.module.named_buffers ())
        if (!torch::isfinite (named.value).all ().item<bool> ())
            return refuse (error, "%s: %s holds a number that is not finite; train the model anew", path, named.name.c_str ());
    if (!(self.module.attr ("deviation").toTensor () > 0).all ().item<bool> ())
        return refuse (error, "%s: deviation has to be above 0 for each lipid; train the model anew", path);
    return 0;
}

/* A patch that is the mean everywhere: what the model says of itself has to be what it does. */
int try_out (Network &self, const char *path, strata_error *error)
{
    auto mean = self.module.attr ("mean").toTensor ();
    auto z = forward (self, mean.expand ({ 1, self.coarse, self.coarse, PATCH_ENCODER_LIPIDS }));
    if (z.dim () != 2 || z.size (0) != 1 || z.size (1) != self.dimensions)
        return refuse (error, "%s: the model says that it gives %lld numbers, but gives %lld", path, static_cast<long long> (self.dimensions),
                       static_cast<long long> (z.numel ()));
    if (!torch::isfinite (z).all ().item<bool> ())
        return refuse (error, "%s: the model gives a number that is not finite for the mean patch; train it anew", path);
    return 0;
}

void *network_open (const char *path, size_t coarse, size_t dimensions, strata_error *error)
{
    OneThread one;
    std::unique_ptr<Network> self;
    int rc = guarded (error, path, [&] {
        self = std::make_unique<Network> (Network{ torch::jit::load (path, torch::kCPU), static_cast<int64_t> (coarse),
                                                   static_cast<int64_t> (dimensions) });
        self->module.eval ();
        self->module.to (torch::kDouble);
        if (check_shape (*self, path, error) != 0 || check_numbers (*self, path, error) != 0)
            return -1;
        return try_out (*self, path, error);
    });
    return rc == 0 ? self.release () : nullptr;
}

int network_encode (void *model, const float *const *patches, size_t count, float *z, strata_error *error)
{
    auto &self = *static_cast<Network *> (model);
    OneThread one;
    return guarded (error, "the network can't be computed", [&] {
        for (size_t i = 0; i < count; i++) {
            auto x = torch::from_blob (const_cast<float *> (patches[i]), { 1, self.coarse, self.coarse, PATCH_ENCODER_LIPIDS }, torch::kFloat);
            auto point = forward (self, x).to (torch::kFloat).contiguous ();
            if (point.numel () != self.dimensions)
                return refuse (error, "the network gives %lld numbers for a patch, not %lld", static_cast<long long> (point.numel ()),
                               static_cast<long long> (self.dimensions));
            memcpy (z + i * static_cast<size_t> (self.dimensions), point.data_ptr<float> (), static_cast<size_t> (self.dimensions) * sizeof (float));
        }
        return 0;
    });
}

void network_close (void *model)
{
    delete static_cast<Network *> (model);
}

} // namespace

extern "C" __attribute__ ((visibility ("default"))) const patch_encoder_kind strata_patch_encoder = {
    PATCH_ENCODER_VERSION, "network", network_open, network_encode, network_close,
};
