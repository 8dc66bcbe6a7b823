// The C interface driven from a file, for a processor that runs no Python here: reads one problem, writes the answers.
// All arrays are raw, little endian, in the order of test_cross.problem().
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "renkei_kernels.h"

template <class T> static std::vector<T> take(FILE *file, size_t count) {
    std::vector<T> values(count);
    if (std::fread(values.data(), sizeof(T), count, file) != count) std::exit(2);
    return values;
}

static void put(const std::vector<double> &values) { std::fwrite(values.data(), sizeof(double), values.size(), stdout); }

int main(int count, char **words) {
    if (!renkei_runs_here()) return std::fprintf(stderr, "%s does not run here\n", renkei_instructions()), 3;
    if (count < 2) return std::puts(renkei_instructions()), 0;
    FILE *file = std::fopen(words[1], "rb");
    auto sizes = take<int32_t>(file, 13);
    int species = sizes[0], powers = sizes[3], length = sizes[6], single = sizes[7], depth = sizes[8];
    int64_t structures = sizes[9], atoms = sizes[10], parameters = sizes[11];
    auto cutoffs = take<double>(file, 2);
    auto power = take<int32_t>(file, powers);
    auto radial_mix = take<double>(file, size_t(sizes[4]) * species);
    auto angular_mix = take<double>(file, size_t(sizes[5]) * species * (species + 1) / 2);
    auto radial_place = take<int32_t>(file, sizes[4]), angular_place = take<int32_t>(file, size_t(powers) * sizes[5]);
    renkei_plan plan{species,    sizes[1],     sizes[2],          powers,             sizes[4],            sizes[5],            length,
                     sizes[12],  cutoffs[0], cutoffs[1],   power.data(),      radial_mix.data(),  angular_mix.data(),  radial_place.data(), angular_place.data()};
    auto layers = take<int32_t>(file, species), layer_sizes = take<int32_t>(file, size_t(species) * (depth + 1));
    auto begin = take<int64_t>(file, species);
    auto weights = take<double>(file, parameters);
    auto mean = take<double>(file, size_t(species) * length), scale = take<double>(file, size_t(species) * length);
    renkei_networks networks{1, depth, layers.data(), layer_sizes.data(), begin.data(), weights.data(), mean.data(), scale.data(), nullptr, nullptr, 0.0};
    auto kinds = take<int32_t>(file, atoms);
    auto box = take<double>(file, 21);
    auto positions = take<double>(file, 3 * structures * atoms), direction = take<double>(file, 3 * structures * atoms);
    renkei_system system{structures, atoms, positions.data(), kinds.data(), {}, {}, {}, {1, 1, 1}};
    for (int k = 0; k < 9; k++) system.vectors[k] = box[k], system.inverse[k] = box[9 + k];
    for (int k = 0; k < 3; k++) system.heights[k] = box[18 + k];

    renkei_model *model = renkei_model_new(&plan, &networks, single);
    renkei_list *list = renkei_list_new();
    std::vector<double> energy(structures), atomic(structures * atoms), forces(3 * structures * atoms), virial(9 * structures);
    std::vector<double> features(structures * atoms * length), change(features.size());
    if (renkei_energy(model, list, &system, 2, energy.data(), atomic.data(), forces.data(), virial.data())) return 1;
    if (renkei_values(model, list, &system, 2, features.data())) return 1;
    if (renkei_push_forward(model, list, &system, 2, direction.data(), change.data())) return 1;
    for (const auto &part : {energy, atomic, forces, virial, features, change}) put(part);
    if (renkei_pull_back(model, list, &system, 2, features.data(), forces.data(), virial.data())) return 1;
    for (const auto &part : {forces, virial}) put(part);
    renkei_list_free(list);
    renkei_model_free(model);
    return 0;
}
