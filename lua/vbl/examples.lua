-- Examples of the functions in the help table: lines to type at the prompt; behind --> stands what the last one gives first (numbers to four
-- digits). ?name, the reference pages and the editor's stubs show them; the tests run each.
--   examples[full name] = text
local examples = {}

-- Several that begin with the same line.
local function with(begin, list)
  for name, line in pairs(list) do examples[name] = begin .. "\n" .. line end
end

with("t = vbl.tensor {{1, 2}, {3, 4}}", {
  ["tensor:abs"] = "(-t):abs():totable()  --> {{1, 2}, {3, 4}}",
  ["tensor:add"] = "t:add(1):totable()  --> {{2, 3}, {4, 5}}",
  ["tensor:allclose"] = "t:allclose(t + 1e-9)  --> true",
  ["tensor:backward"] = "t:requires_grad_()\nloss = (t * t):sum()\nloss:backward()\nt.grad:totable()  --> {{2, 4}, {6, 8}}",
  ["tensor:clone"] = "u = t:clone():zero_()\nt[1]:totable()  --> {1, 2}",
  ["tensor:contiguous"] = "t:t():contiguous():is_contiguous()  --> true",
  ["tensor:copy_"] = "t:copy_(vbl.tensor {7, 8}):totable()  --> {{7, 8}, {7, 8}}",
  ["tensor:cos"] = "(t - 1):cos()[1][1]  --> 1",
  ["tensor:data_ptr"] = "t:narrow(1, 1, 1):data_ptr() == t:data_ptr()  --> true",
  ["tensor:detach"] = "t:requires_grad_():detach().requires_grad  --> false",
  ["tensor:device"] = "t:device()  --> \"cpu\"",
  ["tensor:div"] = "t:div(2):totable()  --> {{0.5, 1}, {1.5, 2}}",
  ["tensor:dtype"] = "t:dtype()  --> \"f32\"",
  ["tensor:eq"] = "t:eq(2):totable()  --> {{0, 1}, {0, 0}}",
  ["tensor:exp"] = "(t - 1):exp()[1]:totable()  --> {1, 2.7183}",
  ["tensor:expand"] = "t:narrow(1, 1, 1):expand(3, 2):totable()  --> {{1, 2}, {1, 2}, {1, 2}}",
  ["tensor:fill_"] = "t:fill_(9):totable()  --> {{9, 9}, {9, 9}}",
  ["tensor:ge"] = "t:ge(3):totable()  --> {{0, 0}, {1, 1}}",
  ["tensor:gelu"] = "t:gelu()[1][1]  --> 0.8413",
  ["tensor:gt"] = "t:gt(3):totable()  --> {{0, 0}, {0, 1}}",
  ["tensor:is_contiguous"] = "t:t():is_contiguous()  --> false",
  ["tensor:item"] = "t:sum():item()  --> 10",
  ["tensor:keep"] = "vbl.scope(function() kept = (t + 1):keep() end)\nkept:totable()  --> {{2, 3}, {4, 5}}",
  ["tensor:le"] = "t:le(3):totable()  --> {{1, 1}, {1, 0}}",
  ["tensor:log"] = "t:log()[1]:totable()  --> {0, 0.6931}",
  ["tensor:log_softmax"] = "t:log_softmax()[1]:totable()  --> {-1.3133, -0.3133}",
  ["tensor:lt"] = "t:lt(3):totable()  --> {{1, 1}, {0, 0}}",
  ["tensor:matmul"] = "t:matmul(t):totable()  --> {{7, 10}, {15, 22}}",
  ["tensor:max"] = "values, index = t:max(2)\nindex:totable()  --> {1, 1}",
  ["tensor:maximum"] = "t:maximum(2.5):totable()  --> {{2.5, 2.5}, {3, 4}}",
  ["tensor:mean"] = "t:mean(1):totable()  --> {2, 3}",
  ["tensor:min"] = "values, index = t:min(1)\nvalues:totable()  --> {1, 2}",
  ["tensor:minimum"] = "t:minimum(2.5):totable()  --> {{1, 2}, {2.5, 2.5}}",
  ["tensor:mul"] = "t:mul(t):totable()  --> {{1, 4}, {9, 16}}",
  ["tensor:narrow"] = "t:narrow(2, 2, 1):totable()  --> {{2}, {4}}",
  ["tensor:ndim"] = "t:ndim()  --> 2",
  ["tensor:ne"] = "t:ne(2):totable()  --> {{1, 0}, {1, 1}}",
  ["tensor:neg"] = "t:neg():totable()  --> {{-1, -2}, {-3, -4}}",
  ["tensor:nonfinite"] = "(t / 0):nonfinite()  --> 4",
  ["tensor:numel"] = "t:numel()  --> 4",
  ["tensor:permute"] = "t:permute(2, 1):totable()  --> {{1, 3}, {2, 4}}",
  ["tensor:pow"] = "t:pow(2):totable()  --> {{1, 4}, {9, 16}}",
  ["tensor:read_later"] = "t:sum():read_later()  --> 10",
  ["tensor:reciprocal"] = "t:reciprocal():totable()  --> {{1, 0.5}, {0.33333, 0.25}}",
  ["tensor:release"] = "t:release()\nvbl.is_tensor(t)  --> true",
  ["tensor:relu"] = "(t - 2):relu():totable()  --> {{0, 0}, {1, 2}}",
  ["tensor:requires_grad_"] = "t:requires_grad_().requires_grad  --> true",
  ["tensor:reshape"] = "t:reshape(-1):totable()  --> {1, 2, 3, 4}",
  ["tensor:select"] = "t:select(2, 1):totable()  --> {1, 3}",
  ["tensor:send"] = "t:send(\"cpu\"):device()  --> \"cpu\"",
  ["tensor:shape"] = "t:shape()  --> {2, 2}",
  ["tensor:sigmoid"] = "(t - 1):sigmoid()[1]:totable()  --> {0.5, 0.73106}",
  ["tensor:sin"] = "(t - 1):sin()[1]:totable()  --> {0, 0.84147}",
  ["tensor:size"] = "t:size(-1)  --> 2",
  ["tensor:softmax"] = "t:softmax()[1]:totable()  --> {0.26894, 0.73106}",
  ["tensor:sqrt"] = "t:sqrt()[2]:totable()  --> {1.73205, 2}",
  ["tensor:square"] = "t:square():totable()  --> {{1, 4}, {9, 16}}",
  ["tensor:squeeze"] = "t:narrow(1, 1, 1):squeeze():shape()  --> {2}",
  ["tensor:std"] = "t:std(1):totable()  --> {1.41421, 1.41421}",
  ["tensor:sub"] = "t:sub(1):totable()  --> {{0, 1}, {2, 3}}",
  ["tensor:sum"] = "t:sum(2):totable()  --> {3, 7}",
  ["tensor:t"] = "t:t():totable()  --> {{1, 3}, {2, 4}}",
  ["tensor:tanh"] = "(t - 1):tanh()[1]:totable()  --> {0, 0.76159}",
  ["tensor:to"] = "(t / 3):to(\"i32\"):totable()  --> {{0, 0}, {1, 1}}",
  ["tensor:totable"] = "t:totable()  --> {{1, 2}, {3, 4}}",
  ["tensor:transpose"] = "t:transpose(1, 2):totable()  --> {{1, 3}, {2, 4}}",
  ["tensor:unsqueeze"] = "t:unsqueeze(1):shape()  --> {1, 2, 2}",
  ["tensor:var"] = "t:var(1):totable()  --> {2, 2}",
  ["tensor:view"] = "t:view(4):shape()  --> {4}",
  ["tensor:zero_"] = "t:zero_():totable()  --> {{0, 0}, {0, 0}}",
})

local functional = {
  abs = "F.abs(-x):totable()  --> {{1, 2}, {3, 4}}",
  add = "F.add(x, x):totable()  --> {{2, 4}, {6, 8}}",
  affine = "F.affine(x, {scale = 2, shift = 1}):totable()  --> {{3, 5}, {7, 9}}",
  attention = "segment = vbl.tensor({{0, 2}}, {dtype = \"i32\"})\nF.attention(x, x, x, segment, segment, {heads = 1}):shape()  --> {2, 2}",
  bce_with_logits = "F.bce_with_logits(vbl.zeros(2), vbl.tensor {0, 1}):item()  --> 0.69315",
  cast = "F.cast(x, {dtype = \"i32\"}):dtype()  --> \"i32\"",
  cat = "F.cat({x, x}, {dim = 2}):totable()  --> {{1, 2, 1, 2}, {3, 4, 3, 4}}",
  contiguous = "F.contiguous(x:t()):is_contiguous()  --> true",
  cos = "F.cos(x - 1)[1][1]  --> 1",
  cross_attention = "segment = vbl.tensor({{0, 2}}, {dtype = \"i32\"})\nqkv = F.cat({x, x, x}, {dim = 2})\nF.cross_attention(qkv, qkv, segment, segment, {heads = 1}):shape()  --> {2, 2}",
  cross_entropy = "F.cross_entropy(vbl.zeros(2, 4), vbl.tensor({3, -100}, {dtype = \"i32\"})):item()  --> 1.38629",
  div = "F.div(x, x):totable()  --> {{1, 1}, {1, 1}}",
  dropout_add = "F.dropout_add(x, x):totable()  --> {{2, 4}, {6, 8}}",
  embedding = "F.embedding(x, vbl.tensor({1, 1, 0}, {dtype = \"i32\"})):totable()  --> {{3, 4}, {3, 4}, {1, 2}}",
  eq = "F.eq(x, x):totable()  --> {{1, 1}, {1, 1}}",
  exp = "F.exp(x - 1)[1]:totable()  --> {1, 2.71828}",
  expand = "F.expand(vbl.ones(1, 2), {shape = {3, 2}}):shape()  --> {3, 2}",
  gather_rows = "F.gather_rows(x, vbl.tensor({1, -1}, {dtype = \"i32\"})):totable()  --> {{3, 4}, {0, 0}}",
  ge = "F.ge(x, x:t()):totable()  --> {{1, 0}, {1, 1}}",
  gelu = "F.gelu(x)[1][1]  --> 0.84134",
  gt = "F.gt(x, x:t()):totable()  --> {{0, 0}, {1, 0}}",
  info_nce = "F.info_nce(vbl.eye(2), vbl.eye(2), {temperature = 1}):item()  --> 0.31326",
  layer_norm = "F.layer_norm(x, vbl.ones(2), vbl.zeros(2)):totable()  --> {{-1, 1}, {-1, 1}}",
  le = "F.le(x, x:t()):totable()  --> {{1, 1}, {0, 1}}",
  linear = "F.linear(x, vbl.ones(1, 2), vbl.tensor {0.5}):totable()  --> {{3.5}, {7.5}}",
  linear_group = "w = vbl.eye(2)\nF.linear_group(x, {w, w}, {vbl.zeros(2), vbl.ones(2)}):totable()  --> {{1, 2, 2, 3}, {3, 4, 4, 5}}",
  log = "F.log(x)[1]:totable()  --> {0, 0.69315}",
  log_softmax = "F.log_softmax(x)[1]:totable()  --> {-1.31326, -0.31326}",
  lt = "F.lt(x, x:t()):totable()  --> {{0, 1}, {0, 0}}",
  matmul = "F.matmul(x, x):totable()  --> {{7, 10}, {15, 22}}",
  max = "F.max(x, {dim = 2}):totable()  --> {2, 4}",
  maximum = "F.maximum(x, x:t()):totable()  --> {{1, 3}, {3, 4}}",
  mean = "F.mean(x, {dim = 1}):totable()  --> {2, 3}",
  min = "F.min(x, {dim = 2}):totable()  --> {1, 3}",
  minimum = "F.minimum(x, x:t()):totable()  --> {{1, 2}, {2, 4}}",
  mul = "F.mul(x, x):totable()  --> {{1, 4}, {9, 16}}",
  ne = "F.ne(x, x:t()):totable()  --> {{0, 1}, {1, 0}}",
  neg = "F.neg(x):totable()  --> {{-1, -2}, {-3, -4}}",
  normalize_rows = "F.normalize_rows(vbl.tensor {{3, 4}}):totable()  --> {{0.6, 0.8}}",
  patchify = "F.patchify(vbl.zeros(1, 3, 4, 4), {patch = 2}):shape()  --> {4, 12}",
  permute = "F.permute(x, {dims = {2, 1}}):totable()  --> {{1, 3}, {2, 4}}",
  pow = "F.pow(x, x):totable()  --> {{1, 4}, {27, 256}}",
  reciprocal = "F.reciprocal(x)[1]:totable()  --> {1, 0.5}",
  relu = "F.relu(x - 2):totable()  --> {{0, 0}, {1, 2}}",
  reshape = "F.reshape(x, {shape = {4}}):totable()  --> {1, 2, 3, 4}",
  residual_norm = "sum, y = F.residual_norm(x, x, vbl.ones(2), vbl.zeros(2))\nsum:totable()  --> {{2, 4}, {6, 8}}",
  scatter_rows = "F.scatter_rows(x, vbl.tensor({2, 2}, {dtype = \"i32\"}), {rows = 3}):totable()  --> {{0, 0}, {0, 0}, {4, 6}}",
  self_attention = "segment = vbl.tensor({{0, 2}}, {dtype = \"i32\"})\nF.self_attention(F.cat({x, x, x}, {dim = 2}), segment, segment, {heads = 1}):shape()  --> {2, 2}",
  sigmoid = "F.sigmoid(x - 1)[1]:totable()  --> {0.5, 0.73106}",
  sin = "F.sin(x - 1)[1]:totable()  --> {0, 0.84147}",
  slice = "F.slice(x, {dim = 2, start = 2, length = 1}):totable()  --> {{2}, {4}}",
  softmax = "F.softmax(x)[1]:totable()  --> {0.26894, 0.73106}",
  sqrt = "F.sqrt(x)[2]:totable()  --> {1.73205, 2}",
  square = "F.square(x):totable()  --> {{1, 4}, {9, 16}}",
  sub = "F.sub(x, x):totable()  --> {{0, 0}, {0, 0}}",
  sum = "F.sum(x, {dim = 2}):totable()  --> {3, 7}",
  tanh = "F.tanh(x - 1)[1]:totable()  --> {0, 0.76159}",
  text_embedding = "i = vbl.tensor({0, 1}, {dtype = \"i32\"})\nF.text_embedding(i, i, x, x, vbl.zeros(2, 2)):totable()  --> {{2, 4}, {6, 8}}",
  vit_assemble = "F.vit_assemble(vbl.ones(4, 2), vbl.zeros(1, 1, 2), vbl.zeros(1, 5, 2), {samples = 1}):shape()  --> {5, 2}",
}
for name, line in pairs(functional) do
  examples["vbl.nn.functional." .. name] = "F = vbl.nn.functional\nx = vbl.tensor {{1, 2}, {3, 4}}\n" .. line
end

examples["vbl.arange"] = "vbl.arange(0, 6, 2):totable()  --> {0, 2, 4}"
examples["vbl.autocast"] = "vbl.autocast(\"bf16\", vbl.nn.functional.linear, vbl.ones(1, 2), vbl.ones(1, 2)):item()  --> 2"
examples["vbl.backward"] = "x = vbl.ones(2, {requires_grad = true})\nvbl.backward {(x * 3):sum(), x:sum()}\nx.grad:totable()  --> {4, 4}"
examples["vbl.cat"] = "vbl.cat({vbl.ones(1, 2), vbl.zeros(1, 2)}, 1):totable()  --> {{1, 1}, {0, 0}}"
examples["vbl.checkpoint"] = "vbl.checkpoint(function(t) return t * t end, vbl.tensor {3}):item()  --> 9"
examples["vbl.count_memory"] = "vbl.count_memory({}, function() return vbl.zeros(1000) end).peak >= 4000  --> true"
examples["vbl.exchange"] = "(function() local a, b = vbl.zeros(1), vbl.ones(1); vbl.exchange(a, b); return a[1] end)()  --> 1.0"
examples["vbl.cuda_graph"] = "why_not, sum = vbl.cuda_graph(function() return vbl.ones(2):sum() end)\nsum:item()  --> 2"
examples["vbl.deterministic"] = "vbl.deterministic()  --> false"
examples["vbl.devices"] = "vbl.devices()[1].name  --> \"cpu\""
examples["vbl.document"] = "vbl.document(\"mine.twice\", \"twice(x) -> number\", \"2 x.\")\n(require \"vbl.help\").row(\"mine.twice\").help  --> \"2 x.\""
examples["vbl.empty"] = "vbl.empty(2, 3):shape()  --> {2, 3}"
examples["vbl.enable_grad"] = "vbl.no_grad(function() return vbl.enable_grad(vbl.is_grad_enabled) end)  --> true"
examples["vbl.eye"] = "vbl.eye(2):totable()  --> {{1, 0}, {0, 1}}"
examples["vbl.full"] = "vbl.full({2}, 7):totable()  --> {7, 7}"
examples["vbl.gradcheck"] = "vbl.gradcheck(function(x) return x:sigmoid() end, {vbl.randn(3, {dtype = \"f64\"})}) < 1e-5  --> true"
examples["vbl.is_grad_enabled"] = "vbl.is_grad_enabled()  --> true"
examples["vbl.is_tensor"] = "vbl.is_tensor(3)  --> false"
examples["vbl.linspace"] = "vbl.linspace(0, 1, 3):totable()  --> {0, 0.5, 1}"
examples["vbl.load"] = "vbl.save(\"x.npy\", vbl.ones(3))\nvbl.load(\"x.npy\"):totable()  --> {1, 1, 1}"
examples["vbl.manual_seed"] = "vbl.manual_seed(7)\nx = vbl.rand(2)\nvbl.manual_seed(7)\nvbl.rand(2):allclose(x)  --> true"
examples["vbl.matmul"] = "vbl.matmul(vbl.ones(2, 3), vbl.ones(3, 1)):totable()  --> {{3}, {3}}"
examples["vbl.memory"] = "x = vbl.zeros(1000)\nvbl.memory().live >= 4000  --> true"
examples["vbl.no_grad"] = "vbl.no_grad(vbl.is_grad_enabled)  --> false"
examples["vbl.ones"] = "vbl.ones(2, {dtype = \"i32\"}):totable()  --> {1, 1}"
examples["vbl.profile"] = "x = vbl.randn(64, 64)\nvbl.profile(function() return x:matmul(x) end).clock  --> \"cpu\""
examples["vbl.rand"] = "vbl.rand(2, 3):shape()  --> {2, 3}"
examples["vbl.randint"] = "vbl.randint(3, 4, 2):totable()  --> {3, 3}"
examples["vbl.randn"] = "vbl.randn(2, 3):shape()  --> {2, 3}"
examples["vbl.random_state"] = "vbl.manual_seed(7)\nvbl.random_state()  --> 7"
examples["vbl.randperm"] = "vbl.randperm(4):to(\"f32\"):sum():item()  --> 6"
examples["vbl.reset_peak_memory"] = "vbl.reset_peak_memory()\nvbl.memory().peak == vbl.memory().live  --> true"
examples["vbl.save"] = "vbl.save(\"x.json\", {a = {1, 2}})\nvbl.load(\"x.json\").a  --> {1, 2}"
examples["vbl.scope"] = "vbl.scope(function() return vbl.ones(2):sum() end):item()  --> 2"
examples["vbl.set_device"] = "vbl.set_device(\"cpu\")\nvbl.zeros(1):device()  --> \"cpu\""
examples["vbl.side_by_side"] = "a, b = vbl.side_by_side(function() return vbl.ones(1) end, function() return vbl.zeros(1) end)\na:item() - b:item()  --> 1"
examples["vbl.synchronize"] = "vbl.synchronize()"
examples["vbl.tensor"] = "vbl.tensor({{1, 2, 3}, {4, 5, 6}}, {dtype = \"f64\"}):shape()  --> {2, 3}"
examples["vbl.zeros"] = "vbl.zeros(2, 2):totable()  --> {{0, 0}, {0, 0}}"

with("x, y = vbl.randn(40, 6), vbl.randn(40, 6)", {
  ["measure.aligned_cosine"] = "vbl.measure.aligned_cosine(x, x)  --> 1",
  ["measure.alignment"] = "vbl.measure.alignment(x, x)  --> 0",
  ["measure.attention_entropy"] = "vbl.measure.attention_entropy(vbl.full({1, 2, 3, 4}, 0.25))  --> 1",
  ["measure.canonical_correlations"] = "vbl.measure.canonical_correlations(x, x):totable()  --> {1, 1, 1, 1, 1, 1}",
  ["measure.cca"] = "vbl.measure.cca(x, x)  --> 1",
  ["measure.cka"] = "vbl.measure.cka(x, 2 * x)  --> 1",
  ["measure.cka_minibatch"] = "vbl.measure.cka_minibatch(x, x, {batch = 20})  --> 1",
  ["measure.cka_stream"] = "s = vbl.measure.cka_stream(6, 6)\ns:add(x, x)\ns:value()  --> 1",
  ["measure.cka_stream_from"] = "s = vbl.measure.cka_stream(6, 6)\ns:add(x, x)\nvbl.measure.cka_stream_from(s:state()):value()  --> 1",
  ["vbl.measure.cka_stream_load"] = "s = vbl.measure.cka_stream(6, 6)\ns:add(x, x)\ns:save \"cka.npz\"\nvbl.measure.cka_stream_load(\"cka.npz\"):value()  --> 1",
  ["measure.cknna"] = "vbl.measure.cknna(x, x)  --> 1",
  ["measure.cosine"] = "vbl.measure.cosine(x, -x)  --> -1",
  ["measure.cycle_knn"] = "vbl.measure.cycle_knn(x, y, {k = 39})  --> 1",
  ["measure.dcor"] = "vbl.measure.dcor(x, x)  --> 1",
  ["measure.edit_knn"] = "vbl.measure.edit_knn(x, x, {k = 5})  --> 1",
  ["measure.effective_rank"] = "vbl.measure.effective_rank(vbl.eye(4))  --> 3",
  ["measure.gw_identity"] = "vbl.measure.gw_identity(x, x)  --> 0",
  ["measure.hsic"] = "vbl.measure.hsic(x, x) > 0  --> true",
  ["measure.is_prepared"] = "vbl.measure.is_prepared(vbl.measure.prepare(x))  --> true",
  ["measure.joint_rank_jaccard"] = "vbl.measure.joint_rank_jaccard(x, x)  --> 1",
  ["measure.knn_jaccard"] = "vbl.measure.knn_jaccard(x, x, {k = 5})  --> 1",
  ["measure.lapack"] = "type(vbl.measure.lapack())  --> \"string\"",
  ["measure.lcs_knn"] = "vbl.measure.lcs_knn(x, x, {k = 5})  --> 5",
  ["measure.linear_probe"] = "labels = x:select(2, 1):gt(0):to \"i32\"\nvbl.measure.linear_probe(x, labels) > 0.5  --> true",
  ["measure.linear_r2"] = "vbl.measure.linear_r2(x, 2 * x)  --> 1",
  ["measure.max_sim"] = "t = vbl.randn(4, 3, 6)\nvbl.measure.max_sim(t, t, {skip_cls = false})  --> 1",
  ["measure.mknn"] = "vbl.measure.mknn(x, x, {k = 5})  --> 1",
  ["measure.mknn_thesis"] = "vbl.measure.mknn_thesis(x, x)  --> 1",
  ["measure.modality_gap"] = "vbl.measure.modality_gap(x, x)  --> 0",
  ["measure.neighbours"] = "vbl.measure.neighbours(x, {k = 3}):shape()  --> {40, 3}",
  ["measure.null"] = "#vbl.measure.null(\"cka\", x, y, {}, {draws = 9})  --> 9",
  ["measure.participation_ratio"] = "vbl.measure.participation_ratio(vbl.eye(4))  --> 3",
  ["measure.pca_dims"] = "vbl.measure.pca_dims(vbl.eye(4))  --> 3",
  ["measure.plugins"] = "next(vbl.measure.plugins())  --> nil",
  ["measure.prepare"] = "p, q = vbl.measure.prepare(x), vbl.measure.prepare(y)\nvbl.measure.cka(p, p)  --> 1",
  ["measure.procrustes"] = "vbl.measure.procrustes(x, x)  --> 1",
  ["measure.pwcca"] = "vbl.measure.pwcca(x, x)  --> 1",
  ["measure.rank_sim"] = "vbl.measure.rank_sim(x, x)  --> 1",
  ["measure.retrieval"] = "vbl.measure.retrieval(x, x)  --> 1",
  ["measure.ridge_r2_cv"] = "vbl.measure.ridge_r2_cv(x, x) > 0.9  --> true",
  ["measure.rsa"] = "vbl.measure.rsa(x, x)  --> 1",
  ["measure.second_order_cosine"] = "vbl.measure.second_order_cosine(x, x)  --> 1",
  ["measure.singular_values"] = "vbl.measure.singular_values(vbl.eye(4)):totable()  --> {1, 1, 1}",
  ["measure.sinkhorn"] = "vbl.measure.sinkhorn(x, x)  --> 0",
  ["measure.sliced_wasserstein"] = "vbl.measure.sliced_wasserstein(x, x)  --> 0",
  ["measure.stable_rank"] = "vbl.measure.stable_rank(vbl.eye(4))  --> 3",
  ["measure.subsample"] = "#vbl.measure.subsample(\"cka\", x, y, {}, {draws = 5})  --> 5",
  ["measure.svcca"] = "vbl.measure.svcca(x, x)  --> 1",
  ["measure.table"] = "p = vbl.measure.prepare(x)\nvbl.measure.table(\"cka\", {p}, {p}):totable()  --> {{1}}",
  ["measure.traits"] = "vbl.measure.traits(\"cka\", x).null  --> \"permutation\"",
  ["measure.twonn"] = "vbl.measure.twonn(x) > 1  --> true",
  ["measure.uniformity"] = "vbl.measure.uniformity(vbl.ones(5, 2))  --> 0",
  ["measure.wasserstein"] = "vbl.measure.wasserstein(x, x)  --> 0",
  ["vbl.measure.matrix"] = "vbl.measure.matrix({x, y}, {x, y}, \"cka\"):shape()  --> {2, 2}",
  ["vbl.measure.passed"] = "vbl.measure.passed \"cka\"  --> true",
  ["vbl.measure.selftest"] = "vbl.measure.selftest({quiet = true}):passed \"cka\"  --> true",
  ["vbl.measure.report"] = "print(vbl.measure.report(x, y, {\"cka\", \"mknn\"}, {null = 19, draws = 10}))",
  ["vbl.measure.report_layers"] = "print(vbl.measure.report_layers({{name = \"layer0\", x = x, y = y}}, \"cka\", {null = 19, interval = false}))",
})

with("scores, labels = vbl.tensor {0.1, 0.4, 0.9}, vbl.tensor {0, 0, 1}", {
  ["metrics.accuracy"] = "vbl.metrics.accuracy(scores:gt(0.3), labels)  --> 0.66667",
  ["metrics.auroc"] = "vbl.metrics.auroc(scores, labels)  --> 1",
  ["metrics.average_precision"] = "vbl.metrics.average_precision(scores, labels)  --> 1",
  ["metrics.best_threshold"] = "vbl.metrics.best_threshold(scores, labels)  --> 0.5",
  ["metrics.bootstrap"] = "set = vbl.metrics.weighted(\"mean\", scores)\n#vbl.metrics.bootstrap({set}, 10, 0)[1]  --> 10",
  ["metrics.exchange"] = "set = vbl.metrics.weighted(\"mean\", vbl.cat {scores, scores})\n#vbl.metrics.exchange({set}, 10, 0)  --> 10",
  ["metrics.f1"] = "vbl.metrics.f1(scores:gt(0.5), labels, {classes = 2})  --> 1",
  ["metrics.vqa_accuracy"] = "vbl.metrics.vqa_accuracy(vbl.tensor {3})  --> 0.9",
  ["metrics.weighted"] = "set = vbl.metrics.weighted(\"auroc\", scores, labels)",
  ["metrics.wilson"] = "vbl.metrics.wilson(8, 10)  --> 0.49016",
})

with("w = vbl.ones(2, {requires_grad = true})", {
  ["vbl.optim.adamw"] = "optimizer = vbl.optim.adamw({{name = \"w\", tensor = w}}, {lr = 0.1, weight_decay = 0})\nw:sum():backward()\noptimizer:step()\nw:totable()  --> {0.9, 0.9}",
  ["vbl.optim.sgd"] = "optimizer = vbl.optim.sgd({{name = \"w\", tensor = w}}, {lr = 0.1})\nw:sum():backward()\noptimizer:step()\nw:totable()  --> {0.9, 0.9}",
  ["vbl.optim.ema"] = "average = vbl.optim.ema({{name = \"w\", tensor = w}}, 0.75)\nvbl.no_grad(function() w:copy_(vbl.tensor {3, 3}) end)\naverage:update(100)\naverage:during(function() return w:totable() end)  --> {1.5, 1.5}",
  ["vbl.optim.pack"] = "vbl.optim.pack {{name = \"w\", tensor = w}}\nw:totable()  --> {1, 1}",
})

examples["vbl.sched.constant"] = "vbl.sched.constant()(5)  --> 1"
examples["vbl.sched.warmup_cosine"] = "rate = vbl.sched.warmup_cosine(10, 2, 0.1)\nrate(1)  --> 0.5"
examples["vbl.sched.draw"] = "print(table.concat(vbl.sched.draw(vbl.sched.warmup_cosine(10, 2), 10, 40, 8), \"\\n\"))"
examples["vbl.sweep.log"] = "vbl.sweep.log(1e-5, 1e-3).kind  --> \"log\""
examples["vbl.sweep.linear"] = "vbl.sweep.linear(0, 0.5).high  --> 0.5"
examples["vbl.sweep.integer"] = "vbl.sweep.integer(1, 8).low  --> 1"
examples["vbl.sweep.integer_log"] = "vbl.sweep.integer_log(8, 64).low  --> 8"
examples["vbl.sweep.choice"] = "vbl.sweep.choice({\"none\", \"late\"}).kind  --> \"choice\""
examples["vbl.data.open"] = "data = vbl.data.open(\"scenes\", {train = 64, test = 8})\ndata:split(\"train\"):size()  --> 64"
examples["vbl.models.vilbert"] = "m = vbl.models.vilbert {preset = \"tiny\", vocab = 50, heads = {\"mlm\", \"ap\"}}\nm.config.layers  --> 4"
examples["vbl.config.write"] = "vbl.config.write {epochs = 4}  --> \"return {\\n  epochs = 4,\\n}\\n\""
examples["vbl.runs.list"] = "vbl.runs.list {out = \".\", where = {status = \"finished\"}}  --> {}"

return examples
