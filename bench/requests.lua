-- Presents the secrets of a file in turn, on the path after `--`.
local requests, at = {}, 0

function init(args)
    for secret in io.lines(args[2]) do
        requests[#requests + 1] = wrk.format("GET", args[1], { ["Authorization"] = "Bearer " .. secret, ["Host"] = "127.0.0.1" })
    end
    at = math.random(#requests)
end

function request()
    at = at % #requests + 1
    return requests[at]
end
