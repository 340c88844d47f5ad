-- For wrk: sends GET requests with the secrets of a file in turn. Arguments: PATH FILE [NAME VALUE]; the optional header
-- replaces the credential.
local requests, at = {}, 0

function init(args)
    for secret in io.lines(args[2]) do
        local name, value = args[3] or "Authorization", args[4] or "Bearer " .. secret
        requests[#requests + 1] = wrk.format("GET", args[1], { [name] = value, ["Host"] = "127.0.0.1" })
    end
    at = math.random(#requests)
end

function request()
    at = at % #requests + 1
    return requests[at]
end
