-- For wrk: sends GET requests with the secrets of a file in turn. Arguments: PATH FILE [NAME VALUE]; the optional header
-- replaces the credential. With the variable BODY, the requests are POST requests with this JSON.
local requests, at = {}, 0

function init(args)
    for secret in io.lines(args[2]) do
        local name, value = args[3] or "Authorization", args[4] or "Bearer " .. secret
        local headers = { [name] = value, ["Host"] = "127.0.0.1" }
        local body = os.getenv("BODY")
        if body then headers["Content-Type"] = "application/json" end
        requests[#requests + 1] = wrk.format(body and "POST" or "GET", args[1], headers, body)
    end
    at = math.random(#requests)
end

function request()
    at = at % #requests + 1
    return requests[at]
end
